"""Local web servers: addresses, accepted host names, bounded request bodies, serving until interrupted."""
