"""Source code read with tree-sitter: the only files that import it and its grammars, and only where there is code."""
