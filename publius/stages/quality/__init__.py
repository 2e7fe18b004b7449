"""What training costs, measured by forward passes of the policies, and the choice of a checkpoint."""
