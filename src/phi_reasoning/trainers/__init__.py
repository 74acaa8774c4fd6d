"""Our thin additions to TRL's trainers."""
