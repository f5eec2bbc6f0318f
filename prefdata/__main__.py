"""``python -m prefdata`` is the command ``prefdata`` (torchrun and the like start modules)."""

from prefdata.cli.main import main

main()
