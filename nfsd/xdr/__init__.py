"""XDR (RFC 4506): the protocols' declarations and the code made from them.

The files in `spec` are the RFCs' own declarations.  `compiler` turns each into a module
of straight-line pack and unpack functions in `generated`, and `codec` is the little that
those modules share.
The generated modules are checked in; a test makes them again and compares.
"""
