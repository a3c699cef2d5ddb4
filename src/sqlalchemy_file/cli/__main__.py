"""``python -m sqlalchemy_file.cli``, where the script is not on the path."""

from sqlalchemy_file.cli import main

if __name__ == "__main__":
    main()
