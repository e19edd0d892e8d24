"""What grows: layers, directories, connections, trees, the index; and the slow beside the fast.

Rule: each part makes what it measures on the same disk, is measured on servers started anew, and
returns a section of the report; nothing here is compared with other servers.
"""
