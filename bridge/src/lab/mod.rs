//! The built-in lab.
pub mod args;
pub mod frames;
pub mod generator;
pub mod hosts;
pub mod measure;
pub mod mode;
pub mod plan;
pub mod report;
pub mod topology;
pub mod traffic;
pub mod view;
