from tests.contract.actions.stage import stage

__all__ = ["stage"]
