"""`python -m cnstra` is `cnstra`."""

from cnstra.cli import main

if __name__ == "__main__":
    main()
