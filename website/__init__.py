"""What `make docs` adds to the pages in `docs/`, as hooks of mkdocs."""
