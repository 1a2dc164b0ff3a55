"""``python -m limbeck`` is ``limbeck``."""

from limbeck.cli import main

raise SystemExit(main())
