//! The archive itself: one tar of members, written once and read in one pass.
