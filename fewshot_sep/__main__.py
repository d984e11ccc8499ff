"""`python -m fewshot_sep` is `fewshot-sep`."""

from fewshot_sep.cli import main

if __name__ == "__main__":
    main()
