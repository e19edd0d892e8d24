"""XDR (RFC 4506): the protocols' declarations and the code made from them.

The `.x` files are the RFCs' own declarations.  `language` reads them,
`generate` turns each into a module of straight-line pack and unpack functions
(`rpc`, `mount`, `nfs3`), and `codec` is the little that those modules share.
The generated modules are checked in; a test makes them again and compares.
"""
