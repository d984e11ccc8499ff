"""Systems of the papers that this project grew from, tiny, trained on one library with one budget; see README.md."""
