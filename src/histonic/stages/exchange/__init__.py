"""Features of other tools to stores and back, and networks to ONNX."""
