"""Encoders from elsewhere: timm, transformers, TorchScript, Keras; presets of foundation encoders; import."""
