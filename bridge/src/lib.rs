//! The `dcbridge` switch.
