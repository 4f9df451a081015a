"""The trusted inside of Letterlock: intake, policy, protection, delivery."""
