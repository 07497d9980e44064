"""MCP servers, over standard input and output or HTTP. The only files that import the official SDK."""
