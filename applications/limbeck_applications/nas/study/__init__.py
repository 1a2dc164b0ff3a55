"""Rankings and searches that can be continued."""
