"""What on a slide speaks for a prediction."""
