"""What Perceiver IO and PaCa-ViT are both built from: `ops` and `weights`."""
