"""Model clients: providers behind one port, and the layers around them that journal, pay, retry, record and replay.

Vendors' libraries may come in here and nowhere else, and only in modules that are imported when first needed.
"""
