"""What compression loses and gains: accuracy, bytes of files, and times against what was there before."""
