"""The proxies that ship."""
