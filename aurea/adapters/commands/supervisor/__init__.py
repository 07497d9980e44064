"""The fork server behind sandbox `process`: a small program that forks one *keeper* per command, which holds its tree.

It runs apart from Aurea, started once per process that runs commands (`python -I -S -E`, this folder as a package of
its own): modules here import each other relatively, light parts of the standard library, and nothing else. So forking
costs about a millisecond where forking Aurea would cost ten.

- Standard input is the lifeline, a socket: each byte on it brings the connection of one command, its end ends the
  server.
- A connection carries one request, answered by `ACK` (the keeper lives), then by one result. Its end, be it because the
  client cancelled or because it was killed, ends the command. A keeper needs the server for nothing.
- Keeper and server are child subreapers: whatever a command starts, daemons included, stays below its keeper, and below
  the server should a command kill its own keeper.

Without Linux there are no subreapers and no /proc: there a command's process group is all that can be ended.
"""
