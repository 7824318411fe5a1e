"""The projections room: how recorded facts become tables and documents. Read-only by construction; knows no clock."""
