"""Makes a contract's Python package of its `.proto` files. It needs nothing of the package around it."""
