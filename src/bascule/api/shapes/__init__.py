"""Docker's words for our values: pure functions, dictionaries on one side and the model on the other."""
