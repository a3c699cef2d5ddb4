"""What every kind of storage needs: the protocol, locations, attributes, errors, streams."""
