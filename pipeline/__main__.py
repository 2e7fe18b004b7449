"""`python -m pipeline` is `publius`: the form in which `accelerate launch -m` takes it."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
