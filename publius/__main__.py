"""`python -m publius` is `publius`: the form in which `accelerate launch -m` takes it."""

from publius.cli import main

if __name__ == "__main__":
    main()
