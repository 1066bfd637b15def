"""The Hyperparameter Scheduler (thesis ch. 3.1): which epochs are searched, at what price, and what becomes of them."""
