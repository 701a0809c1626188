"""The course: what is to be written, the learner's code in the place of the package's, checks, grades."""
