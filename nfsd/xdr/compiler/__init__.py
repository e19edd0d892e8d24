"""The compiler of XDR declarations: `python -m nfsd.xdr.compiler.generate`."""
