"""Everything with a name that ships with Limbeck, registered through the same hooks as third parties."""
