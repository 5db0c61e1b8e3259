"""A local stand-in for Google: OAuth 2.0 and Calendar v3 over real HTTP, kept in memory, with faults on demand."""
