"""The synthetic task of Neural Image Compression through compress and train, by several encoders."""
