"""Which encoder finds most in tasks that none has seen."""
