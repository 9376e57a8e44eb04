"""Everything Qt and napari; nothing else imports this room."""
