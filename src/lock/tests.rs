//! What Model.lock may say.
