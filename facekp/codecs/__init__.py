"""Codecs between pixels and a network's outputs, for points and for face boxes: tested pairs of encode and decode."""
