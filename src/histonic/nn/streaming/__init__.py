"""Networks over images larger than memory, exactly (after Pinckaers et al., TPAMI 2020)."""
