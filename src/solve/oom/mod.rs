//! Was it memory? The verdict and its evidence.
