"""Lightning modules for training with and without a teacher."""
