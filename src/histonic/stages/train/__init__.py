"""Maps and a label table to a cross-validated model."""
