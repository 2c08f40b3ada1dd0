//! Properties of shapes.
