"""PaCa-ViT (Grainger et al. 2022, arXiv 2203.11987)."""

from paca_vit.load import load

__all__ = ['load']
