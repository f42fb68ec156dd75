//! Reading a catalog from TOML or JSON, with errors by line.
