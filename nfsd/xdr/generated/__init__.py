"""Generated from nfsd/xdr/spec: never edit, run `python -m nfsd.xdr.compiler.generate`."""
